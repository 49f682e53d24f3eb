
å
httpflow
sourceZvalue-23@
src_ipZvalue-24@
dst_ipZvalue-25@
src_portZvalue-26@
dst_portZvalue-27@
src_ip_typeZvalue-28@
dst_ip_typeZvalue-29@
familyZvalue-30@
	transportZvalue-31@
	directionZvalue-32@
pidZvalue-33@
process_nameZvalue-34@
netnsZvalue-35@

dst_domainZvalue-36@

dst_nat_ipZvalue-37@
dst_nat_portZvalue-38@
	conn_sideZvalue-39@
	client_ipZvalue-40@
client_portZvalue-41@
client_ip_typeZvalue-42@
	server_ipZvalue-43@
server_portZvalue-44@
server_ip_typeZvalue-45@
server_domainZvalue-46@

session_idZvalue-47@
hostZhÃ¶st a@
serviceZebpf@
methodZvalue-13
pathZvalue-14
http_versionZvalue-15
status_code€€€
	truncated(
tls(
grpc_serviceZvalue-49
grpc_status_code€€€
latency€€À
latency_max€€€
duration€€À
count€€€

bytes_read€€À
bytes_written€€€
client_sent€€À
server_sent€€€•š—ìãŸçË