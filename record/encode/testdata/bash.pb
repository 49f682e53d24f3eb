
Ä
bash
sourceZvalue-2@

session_idZvalue-3@
hostZhÃ¶st a@
serviceZebpf@
cmdZvalue-4
messageZvalue-5
pidZvalue-6
userZvalue-7

uid€€€
	truncated(•š—ìãŸçË