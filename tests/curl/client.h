/* A client of the multi driver with its loop, for the tests of it. */
#ifndef WEIR_TESTS_CURL_CLIENT_H
#define WEIR_TESTS_CURL_CLIENT_H

#include "curl/guard.h"

enum { MANY = 200, PERMITS = 8 };

struct client {
    CURLM *multi;
    struct weir_curl_multi *guarded;
    struct weir_pipeline *pipeline;
    struct origin *origin;
    uint32_t begun, told, by_status[WEIR_STATUSES];
    struct weir_outcome last;
    void (*then)(struct client *client, CURL *easy); /* called by done */
    CURL *easy[MANY];
    struct weir_curl_body body[MANY];
};

struct parts {
    uint32_t attempts; /* 0: no retry */
    uint64_t backoff_ns;
    uint32_t permits, queue; /* 0 permits: no bulkhead */
    uint64_t timeout_ns;
};

/* PERMITS and a queue for all the others, a minute of time; no retry. */
extern const struct parts crowded;

/* retry, bulkhead, timeout: those that the parts ask for */
struct weir_pipeline *client_pipeline(struct parts parts);

/* Takes the pipeline. */
void client_open(
    struct client *client, struct weir_pipeline *pipeline, origin_script *script, void *argument);
/* All that was begun has been told once, and the pipeline agrees. */
void client_close(struct client *client);

void client_start(struct client *client, int index, const struct weir_call_options *call);
/* A weir_curl_done. */
void client_done(void *client, CURL *easy, struct weir_outcome outcome);
/* What is to be done now. */
void client_turn(struct client *client);
/* Until all that was begun is told, or, with `requests`, until so many have reached the origin. */
void client_drive(struct client *client, uint32_t requests);

void check_bulkhead_empty(const struct weir_pipeline *pipeline, size_t position);

/* Scripts for origins. */
struct origin_answer answer_ok(void *argument, const struct origin_request *request);
struct origin_answer answer_busy(void *argument, const struct origin_request *request);

/* A CURLOPT_WRITEFUNCTION. */
size_t swallow(char *data, size_t size, size_t count, void *argument);

#endif
