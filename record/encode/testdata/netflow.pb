
Ú
netflow
sourceZvalue-14@
src_ipZvalue-15@
dst_ipZvalue-16@
src_portZvalue-17@
dst_portZvalue-18@
src_ip_typeZvalue-19@
dst_ip_typeZvalue-20@
familyZvalue-21@
	transportZvalue-22@
	directionZvalue-23@
pidZvalue-24@
process_nameZvalue-25@
netnsZvalue-26@

dst_domainZvalue-27@

dst_nat_ipZvalue-28@
dst_nat_portZvalue-29@
	conn_sideZvalue-30@
	client_ipZvalue-31@
client_portZvalue-32@
client_ip_typeZvalue-33@
	server_ipZvalue-34@
server_portZvalue-35@
server_ip_typeZvalue-36@
server_domainZvalue-37@

session_idZvalue-38@
connect_errorZvalue-39@
hostZhÃ¶st a@
serviceZebpf@

bytes_read€€€
bytes_written€€À
packets_read€€€
packets_written€€À
client_sent€€€
server_sent€€À
retransmits€€À

rtt€€€
rtt_var€€À
tcp_established€€€

tcp_closed€€À
tcp_connect_failed€€€
connect_latency€€À•š—ìãŸçË