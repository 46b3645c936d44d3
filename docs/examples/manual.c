/* The example of the manual page: a read with a result, on behalf of a request that has a deadline. */
#include <inttypes.h>
#include <stdio.h>
#include <weir/weir.h>

/* Stands for your call: answers 0 or an errno. */
static int look_up(const char *account, long timeout_ms, int64_t *cents)
{
    *cents = account[0] == '4' ? 4200 : 0;
    return printf("asking, for at most %ld ms\n", timeout_ms) < 0;
}

static struct weir_outcome balance(void *account, const struct weir_attempt *attempt)
{
    long timeout_ms = weir_attempt_left_ms(attempt);
    return weir_from_errno(look_up(account, timeout_ms, attempt->value));
}

int main(void)
{
    struct weir_standard_config config = weir_standard_config_init();
    config.name = "bank";
    config.deadline_ns = 800 * WEIR_MS;
    config.result_size = sizeof(int64_t);
    struct weir_pipeline *bank;
    if (weir_pipeline_standard(&config, &bank) != WEIR_E_NONE) {
        fprintf(stderr, "%s\n", weir_error_text());
        return 1;
    }

    /* Whoever asked us wants an answer within 300 ms. */
    struct weir_context request;
    uint64_t now_ns = weir_pipeline_now(bank);
    weir_context_child(&request, NULL, now_ns + 300 * WEIR_MS, NULL);
    weir_context_enter(&request);

    int64_t cents = 0;
    struct weir_call_options options = weir_call_options_init();
    options.idempotent = true; /* a read may be repeated */
    options.value = &cents;
    char account[] = "4242", text[160];
    struct weir_outcome outcome = weir_run(bank, &options, balance, account);
    if (outcome.status == WEIR_OK) {
        printf("%" PRId64 " cents\n", cents);
    } else {
        puts(weir_outcome_text(text, sizeof text, bank, outcome));
    }

    weir_context_leave(&request);
    weir_pipeline_destroy(bank);
    return outcome.status != WEIR_OK;
}
