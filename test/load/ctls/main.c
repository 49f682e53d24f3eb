// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Ctls is an HTTPS server and client on OpenSSL's interface. Only functions
 * that OpenSSL 1.1, 3 and BoringSSL share are used, and declared here, so that
 * one source links with any of them.
 *
 *	ctls serve ADDR PORT PEM
 *	ctls get ADDR PORT PREFIX N    GET PREFIX/0 … PREFIX/N-1, PREFIX/none, POST PREFIX/post
 *
 * A client stays for a moment, so that a library that only it has can be found.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;

SSL_CTX *SSL_CTX_new(const void *method);
const void *TLS_method(void);
int SSL_CTX_use_certificate_chain_file(SSL_CTX *, const char *);
int SSL_CTX_use_PrivateKey_file(SSL_CTX *, const char *, int);
SSL *SSL_new(SSL_CTX *);
int SSL_set_fd(SSL *, int);
int SSL_connect(SSL *);
int SSL_accept(SSL *);
int SSL_read(SSL *, void *, int);
int SSL_write(SSL *, const void *, int);
int SSL_shutdown(SSL *);
void SSL_free(SSL *);

#define BODY 30000
#define PEM_FILE 1

/* Has the last chunk come? No body has its like in it. */
static int last_chunk(const char *body, int have)
{
	return have >= 5 && !memcmp(body + have - 5, "0\r\n\r\n", 5);
}

/* Reads a message: its head, in buf as text, and the body that it announces. */
static int message(SSL *s, char *buf, int room)
{
	int have = 0, n, want, chunked;
	char *end = NULL, *length, *body;

	while (!end) {
		n = SSL_read(s, buf + have, room - 1 - have);
		if (n <= 0)
			return 0;
		have += n;
		buf[have] = 0;
		end = strstr(buf, "\r\n\r\n");
	}
	length = strcasestr(buf, "\r\nContent-Length:");
	want = length && length < end ? atoi(length + 17) : 0;
	chunked = strcasestr(buf, "\r\nTransfer-Encoding: chunked") != NULL;
	body = end + 4;
	for (have -= body - buf; chunked ? !last_chunk(body, have) : have < want; have += n) {
		n = SSL_read(s, body + have, room - (body - buf) - have);
		if (n <= 0)
			return 0;
	}
	end[4] = 0;
	return 1;
}

static void answer(SSL *s)
{
	static char buf[64 << 10];
	int n;

	while (message(s, buf, sizeof(buf))) {
		char *none = strstr(buf, "/none ");

		n = sprintf(buf, "HTTP/1.1 %s\r\nContent-Length: 3000\r\n\r\n",
			    none ? "404 Not Found" : "200 OK");
		SSL_write(s, buf, n); /* a head and a body of two writes */
		memset(buf, 'x', 3000);
		SSL_write(s, buf, 3000);
	}
	SSL_shutdown(s);
	SSL_free(s);
}

static int serve(struct sockaddr_in *a, const char *pem)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	int l = socket(AF_INET, SOCK_STREAM, 0), on = 1, fd;

	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (SSL_CTX_use_certificate_chain_file(ctx, pem) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, pem, PEM_FILE) != 1 || bind(l, (void *)a, sizeof(*a)) ||
	    listen(l, 100))
		return 1;
	signal(SIGCHLD, SIG_IGN);
	while ((fd = accept(l, NULL, NULL)) >= 0) {
		if (fork() == 0) {
			SSL *s = SSL_new(ctx);

			close(l);
			SSL_set_fd(s, fd);
			if (SSL_accept(s) == 1)
				answer(s);
			exit(0);
		}
		close(fd);
	}
	return 1;
}

static int get(struct sockaddr_in *a, const char *prefix, int n)
{
	static char buf[64 << 10];
	SSL *s = SSL_new(SSL_CTX_new(TLS_method()));
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (void *)a, sizeof(*a)) || !SSL_set_fd(s, fd) || SSL_connect(s) != 1)
		return 1;
	for (int i = 0; i <= n + 1; i++) {
		char path[16] = "none";
		int len;

		if (i < n)
			sprintf(path, "%d", i);
		if (i <= n)
			len = sprintf(buf, "GET %s/%s HTTP/1.1\r\nHost: a\r\n\r\n", prefix, path);
		else
			len = sprintf(buf, "POST %s/post HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
				      prefix, BODY);
		if (i > n) {
			memset(buf + len, 'g', BODY);
			len += BODY;
		}
		if (SSL_write(s, buf, len) != len || !message(s, buf, sizeof(buf)))
			return 2;
	}
	SSL_shutdown(s);
	SSL_free(s);
	close(fd);
	usleep(300000);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET};

	if (argc < 5)
		return 64;
	signal(SIGPIPE, SIG_IGN);
	inet_pton(AF_INET, argv[2], &a.sin_addr);
	a.sin_port = htons(atoi(argv[3]));
	if (!strcmp(argv[1], "serve"))
		return serve(&a, argv[4]);
	return argc < 6 ? 64 : get(&a, argv[4], atoi(argv[5]));
}
