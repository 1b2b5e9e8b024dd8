// A function in C without any library: one thread for each invocation that it may have
// at a time, each of which polls the Runtime API. It does what its event says.
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static atomic_int in_flight, most;

static int dial(void) {
	char api[256];
	snprintf(api, sizeof api, "%s", getenv("AWS_LAMBDA_RUNTIME_API"));
	char *port = strrchr(api, ':');
	*port++ = 0;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = inet_addr(api)};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (s < 0 || connect(s, (struct sockaddr *)&at, sizeof at) != 0) exit(1);
	return s;
}

// call makes one request and returns the whole answer, to be freed.
static char *call(const char *method, const char *path, const char *body) {
	size_t size = strlen(path) + strlen(body) + 256, have = 0, room = 4096;
	char *text = malloc(size);
	int length = snprintf(text, size, "%s /2018-06-01/runtime/%s HTTP/1.1\r\nHost: api\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
		method, path, strlen(body), body);
	int s = dial();
	for (int sent = 0, n; sent < length; sent += n)
		if ((n = write(s, text + sent, length - sent)) <= 0) exit(1);
	free(text);
	char *answer = malloc(room);
	for (ssize_t n; (n = read(s, answer + have, room - have - 1)) > 0;)
		if ((have += n) + 1 == room) answer = realloc(answer, room *= 2);
	answer[have] = 0;
	close(s);
	return answer;
}

static void header(const char *answer, const char *name, char *value, size_t size) {
	for (const char *line = answer; line && *line; line = strstr(line, "\r\n") ? strstr(line, "\r\n") + 2 : NULL)
		if (strncasecmp(line, name, strlen(name)) == 0) {
			line += strlen(name);
			line += strspn(line, ": ");
			snprintf(value, size, "%.*s", (int)strcspn(line, "\r"), line);
			return;
		}
}

static void serve(const char *id, const char *event) {
	char path[256], *answer = malloc(strlen(event) + 256);
	const char *max = getenv("AWS_LAMBDA_MAX_CONCURRENCY"), *pause = strstr(event, "\"wait\":");
	printf("serving %s\n", id);
	fflush(stdout);
	if (strstr(event, "abort")) abort();
	int now = ++in_flight;
	for (int old = most; now > old && !atomic_compare_exchange_weak(&most, &old, now);) {}
	long ms = pause ? atol(pause + 7) : 0;
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
	in_flight--;
	if (strstr(event, "error")) {
		snprintf(path, sizeof path, "invocation/%s/error", id);
		strcpy(answer, "{\"errorType\":\"C.Bad\",\"errorMessage\":\"out of range\"}");
	} else {
		snprintf(path, sizeof path, "invocation/%s/response", id);
		sprintf(answer, "{\"event\":%s,\"max\":\"%s\",\"most\":%d}", event, max ? max : "", most);
	}
	free(call("POST", path, answer));
	free(answer);
}

static void *poll(void *unused) {
	for (;;) {
		char *answer = call("GET", "invocation/next", ""), id[64] = "", *event = strstr(answer, "\r\n\r\n");
		header(answer, "Lambda-Runtime-Aws-Request-Id", id, sizeof id);
		if (!event || !*id) exit(1);
		serve(id, event + 4);
		free(answer);
	}
	return unused;
}

int main(void) {
	const char *max = getenv("AWS_LAMBDA_MAX_CONCURRENCY");
	for (int i = max ? atoi(max) : 1; i > 1; i--) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, poll, NULL) != 0) return 1;
	}
	poll(NULL);
}
