
Ú
netflow
sourceZvalue-15@
src_ipZvalue-16@
dst_ipZvalue-17@
src_portZvalue-18@
dst_portZvalue-19@
src_ip_typeZvalue-20@
dst_ip_typeZvalue-21@
familyZvalue-22@
	transportZvalue-23@
	directionZvalue-24@
pidZvalue-25@
process_nameZvalue-26@
netnsZvalue-27@

dst_domainZvalue-28@

dst_nat_ipZvalue-29@
dst_nat_portZvalue-30@
	conn_sideZvalue-31@
	client_ipZvalue-32@
client_portZvalue-33@
client_ip_typeZvalue-34@
	server_ipZvalue-35@
server_portZvalue-36@
server_ip_typeZvalue-37@
server_domainZvalue-38@

session_idZvalue-39@
connect_errorZvalue-40@
hostZhÃ¶st a@
serviceZebpf@

bytes_read€€À
bytes_written€€€
packets_read€€À
packets_written€€€
client_sent€€À
server_sent€€€
retransmits€€€

rtt€€À
rtt_var€€€
tcp_established€€À

tcp_closed€€€
tcp_connect_failed€€À
connect_latency€€€•š—ìãŸçË