
À
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
server_domainZvalue-38@
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