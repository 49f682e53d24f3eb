
Ó
dnsflow
sourceZvalue-18@
src_ipZvalue-19@
dst_ipZvalue-20@
src_portZvalue-21@
dst_portZvalue-22@
src_ip_typeZvalue-23@
dst_ip_typeZvalue-24@
familyZvalue-25@
	transportZvalue-26@
	directionZvalue-27@
pidZvalue-28@
process_nameZvalue-29@
netnsZvalue-30@

dst_domainZvalue-31@

dst_nat_ipZvalue-32@
dst_nat_portZvalue-33@
	conn_sideZvalue-34@
	client_ipZvalue-35@
client_portZvalue-36@
client_ip_typeZvalue-37@
	server_ipZvalue-38@
server_portZvalue-39@
server_ip_typeZvalue-40@
server_domainZvalue-41@

session_idZvalue-42@
hostZhÃ¶st a@
serviceZebpf@
rcode€€À
queryZvalue-14
qtypeZvalue-15
latency€€À
latency_max€€€
count€€À
answers€€€
retries€€À
truncated_responses€€€•š—ìãŸçË