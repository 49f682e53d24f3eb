// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// Cpeer sends requests with SSL_write_ex and reads the answers with SSL_read_ex.
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
	int fd = socket(AF_INET, SOCK_STREAM, 0), n = atoi(argv[2]);
	SSL *s = SSL_new(SSL_CTX_new(TLS_client_method()));
	char buf[4096];
	size_t got;

	inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	read(0, buf, 1);
	if (connect(fd, (void *)&a, sizeof(a)) || !SSL_set_fd(s, fd) || SSL_connect(s) != 1)
		return 1;
	for (int i = 0; i < n; i++) {
		int len = snprintf(buf, sizeof(buf), "GET /r%dx HTTP/1.1\r\nHost: a\r\n\r\n", i);

		if (!SSL_write_ex(s, buf, len, &got))
			return 2;
		for (int end = 0; !end;) { /* the answer repeats the path */
			if (!SSL_read_ex(s, buf, sizeof(buf) - 1, &got))
				return 3;
			buf[got] = 0;
			end = strstr(buf, "hello from /r") != NULL;
		}
	}
	SSL_shutdown(s);
	SSL_free(s);
	return 0;
}
