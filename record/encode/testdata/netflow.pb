
À
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
server_domainZvalue-37@
connect_errorZvalue-38@
hostZhÃ¶st a@
serviceZebpf@

bytes_read€€À
bytes_written€€€
packets_read€€À
packets_written€€€
client_sent€€À
server_sent€€€
retransmits€€€

rtt€€À
rtt_var€€€
tcp_established€€À

tcp_closed€€€
tcp_connect_failed€€À
connect_latency€€€•š—ìãŸçË