
À
netflow
sourceZvalue-13@
src_ipZvalue-14@
dst_ipZvalue-15@
src_portZvalue-16@
dst_portZvalue-17@
src_ip_typeZvalue-18@
dst_ip_typeZvalue-19@
familyZvalue-20@
	transportZvalue-21@
	directionZvalue-22@
pidZvalue-23@
process_nameZvalue-24@
netnsZvalue-25@

dst_domainZvalue-26@

dst_nat_ipZvalue-27@
dst_nat_portZvalue-28@
	conn_sideZvalue-29@
	client_ipZvalue-30@
client_portZvalue-31@
client_ip_typeZvalue-32@
	server_ipZvalue-33@
server_portZvalue-34@
server_ip_typeZvalue-35@
server_domainZvalue-36@
connect_errorZvalue-37@
hostZhÃ¶st a@
serviceZebpf@

bytes_read€€€
bytes_written€€À
packets_read€€€
packets_written€€À
client_sent€€€
server_sent€€À
retransmits€€À

rtt€€€
rtt_var€€À
tcp_established€€€

tcp_closed€€À
tcp_connect_failed€€€
connect_latency€€À•š—ìãŸçË