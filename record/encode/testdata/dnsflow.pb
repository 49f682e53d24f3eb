
Ó
dnsflow
sourceZvalue-19@
src_ipZvalue-20@
dst_ipZvalue-21@
src_portZvalue-22@
dst_portZvalue-23@
src_ip_typeZvalue-24@
dst_ip_typeZvalue-25@
familyZvalue-26@
	transportZvalue-27@
	directionZvalue-28@
pidZvalue-29@
process_nameZvalue-30@
netnsZvalue-31@

dst_domainZvalue-32@

dst_nat_ipZvalue-33@
dst_nat_portZvalue-34@
	conn_sideZvalue-35@
	client_ipZvalue-36@
client_portZvalue-37@
client_ip_typeZvalue-38@
	server_ipZvalue-39@
server_portZvalue-40@
server_ip_typeZvalue-41@
server_domainZvalue-42@

session_idZvalue-43@
hostZhÃ¶st a@
serviceZebpf@
rcode€€€
queryZvalue-15
qtypeZvalue-16
latency€€€
latency_max€€À
count€€€
answers€€À
retries€€€
truncated_responses€€À•š—ìãŸçË