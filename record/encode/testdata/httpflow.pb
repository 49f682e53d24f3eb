
å
httpflow
sourceZvalue-24@
src_ipZvalue-25@
dst_ipZvalue-26@
src_portZvalue-27@
dst_portZvalue-28@
src_ip_typeZvalue-29@
dst_ip_typeZvalue-30@
familyZvalue-31@
	transportZvalue-32@
	directionZvalue-33@
pidZvalue-34@
process_nameZvalue-35@
netnsZvalue-36@

dst_domainZvalue-37@

dst_nat_ipZvalue-38@
dst_nat_portZvalue-39@
	conn_sideZvalue-40@
	client_ipZvalue-41@
client_portZvalue-42@
client_ip_typeZvalue-43@
	server_ipZvalue-44@
server_portZvalue-45@
server_ip_typeZvalue-46@
server_domainZvalue-47@

session_idZvalue-48@
hostZhÃ¶st a@
serviceZebpf@
methodZvalue-14
pathZvalue-15
http_versionZvalue-16
status_code€€À
	truncated(
tls(
grpc_serviceZvalue-50
grpc_status_code€€À
latency€€€
latency_max€€À
duration€€€
count€€À

bytes_read€€€
bytes_written€€À
client_sent€€€
server_sent€€À•š—ìãŸçË