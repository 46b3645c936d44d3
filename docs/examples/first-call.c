#include <stdio.h>
#include <weir/weir.h>

static int bank_charge(const char *card, long timeout_ms) /* stands for your call: answers 0 or an errno */
{
    return printf("charging %s, for at most %ld ms\n", card, timeout_ms) < 0;
}

static struct weir_outcome charge(void *card, const struct weir_attempt *attempt)
{
    return weir_from_errno(bank_charge(card, weir_attempt_left_ms(attempt)));
}

int main(void)
{
    char card[] = "4242";
    struct weir_pipeline *bank;
    if (weir_pipeline_standard(NULL, &bank) != WEIR_E_NONE) return 1;
    struct weir_outcome outcome = weir_run(bank, NULL, charge, card);
    puts(weir_outcome_text((char[160]) { 0 }, 160, bank, outcome));
    weir_pipeline_destroy(bank);
    return outcome.status != WEIR_OK;
}
