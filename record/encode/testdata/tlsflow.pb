
è
tlsflow
sourceZvalue-20@
src_ipZvalue-21@
dst_ipZvalue-22@
src_portZvalue-23@
dst_portZvalue-24@
src_ip_typeZvalue-25@
dst_ip_typeZvalue-26@
familyZvalue-27@
	transportZvalue-28@
	directionZvalue-29@
pidZvalue-30@
process_nameZvalue-31@
netnsZvalue-32@

dst_domainZvalue-33@

dst_nat_ipZvalue-34@
dst_nat_portZvalue-35@
	conn_sideZvalue-36@
	client_ipZvalue-37@
client_portZvalue-38@
client_ip_typeZvalue-39@
	server_ipZvalue-40@
server_portZvalue-41@
server_ip_typeZvalue-42@
server_domainZvalue-43@

session_idZvalue-44@
hostZh√∂st a@
serviceZebpf@
sniZvalue-14
alpnZvalue-15
tls_versionZvalue-16
cipherZvalue-17
countÄÄ¿ïöóÏ„üÁÀ