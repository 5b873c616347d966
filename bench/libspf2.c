/* SPF verdicts a second of libspf2, one message at a time in each thread.
 *
 *   libspf2 CHECKS SECONDS CACHE THREADS      CACHE: 0 none, 1 its own, in each thread's server
 *
 * CHECKS holds lines "client domain". The name server is that of /etc/resolv.conf. With a cache
 * each thread goes over the list once before the clock starts. Prints the line that
 * daemon/benches/verify prints: name, sessions, verdicts a second, CPU microseconds a verdict. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <arpa/nameser.h>
#include <resolv.h>
#include <spf2/spf.h>

enum { MOST = 10000, RESULTS = 16 };

static struct asked { char client[48], domain[256]; } list[MOST];
static int length, cache, threads;
static double seconds;
static pthread_barrier_t ready, go;

struct session { pthread_t thread; int from; long verdicts, said[RESULTS]; };

static double clock_of(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int verdict(SPF_server_t *server, const struct asked *asked)
{
    char sender[300];
    SPF_response_t *response = NULL;
    SPF_request_t *request = SPF_request_new(server);
    snprintf(sender, sizeof sender, "someone@%s", asked->domain);
    SPF_request_set_ipv4_str(request, asked->client);
    SPF_request_set_helo_dom(request, "client.bench.test");
    SPF_request_set_env_from(request, sender);
    SPF_request_query_mailfrom(request, &response);
    int said = SPF_response_result(response);
    SPF_response_free(response);
    SPF_request_free(request);
    return said & (RESULTS - 1);
}

static void *run(void *of)
{
    struct session *session = of;
    SPF_server_t *server = SPF_server_new(cache ? SPF_DNS_CACHE : SPF_DNS_RESOLV, 0);
    for (int at = 0; cache && at < length; at++)
        verdict(server, &list[at]);
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&go);
    double end = clock_of(CLOCK_MONOTONIC) + seconds;
    for (int at = session->from; clock_of(CLOCK_MONOTONIC) < end; at++) {
        session->said[verdict(server, &list[at % length])]++;
        session->verdicts++;
    }
    SPF_server_free(server);
    return NULL;
}

int main(int count, char **words)
{
    FILE *checks = count == 5 ? fopen(words[1], "r") : NULL;
    if (!checks) {
        fprintf(stderr, "usage: libspf2 CHECKS SECONDS CACHE THREADS\n");
        return 64;
    }
    while (length < MOST && fscanf(checks, "%47s %255s", list[length].client, list[length].domain) == 2)
        length++;
    seconds = atof(words[2]);
    cache = atoi(words[3]);
    threads = atoi(words[4]);
    struct session *sessions = calloc(threads, sizeof *sessions);
    pthread_barrier_init(&ready, NULL, threads + 1);
    pthread_barrier_init(&go, NULL, threads + 1);
    for (int at = 0; at < threads; at++) {
        sessions[at].from = (long)at * length / threads;
        if (pthread_create(&sessions[at].thread, NULL, run, &sessions[at]))
            return 71;
    }
    pthread_barrier_wait(&ready);
    double cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID), begun = clock_of(CLOCK_MONOTONIC);
    pthread_barrier_wait(&go);
    long verdicts = 0, said[RESULTS] = {0};
    for (int at = 0; at < threads; at++) {
        pthread_join(sessions[at].thread, NULL);
        verdicts += sessions[at].verdicts;
        for (int result = 0; result < RESULTS; result++)
            said[result] += sessions[at].said[result];
    }
    double took = clock_of(CLOCK_MONOTONIC) - begun;
    cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("libspf2-%s %d %.0f %.2f - ", cache ? "warm" : "cold", threads, verdicts / took, 1e6 * cpu / verdicts);
    const char *comma = "";
    for (int result = 0; result < RESULTS; result++)
        if (said[result]) {
            printf("%s%s=%.1f%%", comma, SPF_strresult(result), 100.0 * said[result] / verdicts);
            comma = ",";
        }
    puts("");
    return 0;
}
