// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Gcurl is curl's library built with GnuTLS, whose headers Debian has only for
 * one of the two builds, so that what is used of it is declared here.
 *
 *	gcurl URL N    GET URL/0 … URL/N-1, URL/none, POST URL/post
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void CURL;
CURL *curl_easy_init(void);
int curl_easy_setopt(CURL *, int option, ...);
int curl_easy_perform(CURL *);
void curl_easy_cleanup(CURL *);
const char *curl_version(void);

/* curl/curl.h: of type long, object pointer, function pointer. */
enum { VERIFYPEER = 64, VERIFYHOST = 81, HTTPGET = 80, POSTFIELDSIZE = 60 };
enum { URL = 10002, POSTFIELDS = 10015, WRITEFUNCTION = 20011 };

#define BODY 30000

static size_t drop(char *data, size_t size, size_t n, void *arg)
{
	return size * n;
}

int main(int argc, char **argv)
{
	static char url[4096], body[BODY];
	CURL *c = curl_easy_init();
	int n, err;

	if (argc < 3 || !strstr(curl_version(), "GnuTLS"))
		return 64;
	n = atoi(argv[2]);
	memset(body, 'g', sizeof(body));
	curl_easy_setopt(c, VERIFYPEER, 0L);
	curl_easy_setopt(c, VERIFYHOST, 0L);
	curl_easy_setopt(c, WRITEFUNCTION, drop);
	for (int i = 0; i <= n + 1; i++) {
		if (i < n)
			snprintf(url, sizeof(url), "%s/%d", argv[1], i);
		else
			snprintf(url, sizeof(url), "%s/%s", argv[1], i == n ? "none" : "post");
		if (i > n) {
			curl_easy_setopt(c, POSTFIELDSIZE, (long)BODY);
			curl_easy_setopt(c, POSTFIELDS, body);
		}
		curl_easy_setopt(c, URL, url);
		err = curl_easy_perform(c);
		if (err)
			return err;
	}
	curl_easy_cleanup(c);
	return 0;
}
