
‰
exec
sourceZvalue-2@
eventZvalue-3@

session_idZvalue-4@
container_idZvalue-5@
hostZhÃ¶st a@
serviceZebpf@
cmdZvalue-6
messageZvalue-7
exeZvalue-8
cwdZvalue-9
pidZvalue-10
ppidZvalue-11
userZvalue-12

uid€€À
ttyZvalue-14
exec_idZvalue-15
args_truncated(
	exit_code€€À	
signalZvalue-20
duration€€À
•š—ìãŸçË