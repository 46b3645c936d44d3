/* The sliding window against a plain ring of records: nothing is lost, a late add counts where it should, old
 * buckets do not. */
#include "base/window.h"
#include "fuzz/fuzz.h"

struct record {
    uint64_t epoch, good, bad;
};

struct model {
    struct record record[LINES][WINDOW_BUCKETS];
    uint64_t newest[LINES], good, bad;
};

static void model_add(struct model *model, uint32_t line, uint64_t epoch, bool bad)
{
    uint64_t *newest = &model->newest[line];
    if (epoch > *newest) {
        uint64_t from = epoch - *newest > WINDOW_BUCKETS ? epoch - WINDOW_BUCKETS : *newest;
        for (uint64_t x = from + 1; x <= epoch; x++)
            model->record[line][x % WINDOW_BUCKETS] = (struct record) { x, 0, 0 };
        *newest = epoch;
    }
    struct record *record = &model->record[line][epoch % WINDOW_BUCKETS];
    if (((record->good | record->bad) >> (WINDOW_COUNT_BITS - 1)) != 0) { /* nearly full: half leaves */
        record->good /= 2;
        record->bad /= 2;
    }
    if (bad) record->bad++, model->bad++;
    else record->good++, model->good++;
}

/* A shard that comes back after nearly a lap of the epoch's 20 bits, the shared one after half a lap, may find old
 * buckets that pass for newer ones (window.h); what is added then is not judged. */
static bool is_lap(const struct model *model, uint32_t line, uint64_t epoch)
{
    uint64_t margin = line == SHARDS ? UINT64_C(1) << (63 - WINDOW_EPOCH_SHIFT) : 2 * WINDOW_BUCKETS;
    for (uint64_t x = epoch - WINDOW_BUCKETS; x <= epoch; x++) {
        const struct record *record = &model->record[line][x % WINDOW_BUCKETS];
        uint64_t ahead = (record->epoch - x) << WINDOW_EPOCH_SHIFT >> WINDOW_EPOCH_SHIFT;
        if (record->epoch < x && ahead <= margin) return true;
    }
    return false;
}

/* Puts many at once into a bucket that is there, as if they had been added one by one. */
static void fill(struct window *window, struct model *model, uint32_t line, uint64_t many, bool bad)
{
    uint64_t epoch = model->newest[line];
    struct record *record = &model->record[line][epoch % WINDOW_BUCKETS];
    uint64_t room = (UINT64_C(1) << (WINDOW_COUNT_BITS - 1));
    uint64_t has = bad ? record->bad : record->good;
    if (epoch == 0 || has >= room) return;
    many = many < room - has ? many : room - has;
    window->shard[line].bucket[epoch % WINDOW_BUCKETS] += many * (bad ? WINDOW_BAD : WINDOW_GOOD);
    if (bad) record->bad += many, model->bad += many;
    else record->good += many, model->good += many;
}

static void check(const struct window *window, const struct model *model, uint64_t first, uint64_t now)
{
    struct window_sum total = window_total(window), sum = window_sum(window, first, now), want = { 0, 0 };
    MUST(total.good == model->good && total.bad == model->bad);
    if (first > now) first = now;
    if (now - first >= WINDOW_BUCKETS) first = now - WINDOW_BUCKETS + 1;
    for (uint32_t line = 0; line < LINES; line++) {
        for (uint32_t i = 0; i < WINDOW_BUCKETS; i++) {
            const struct record *record = &model->record[line][i];
            if (record->epoch < first || record->epoch > now + WINDOW_BUCKETS) continue;
            want.good += record->good;
            want.bad += record->bad;
        }
    }
    MUST(sum.good == want.good && sum.bad == want.bad);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = { data, data + size };
    uint32_t own = thread_shard();
    struct window *window = aligned_alloc(CACHE_LINE, sizeof *window);
    struct model *model = calloc(1, sizeof *model);
    MUST(window != NULL && model != NULL);
    memset(window, 0, sizeof *window);
    uint64_t clock = 64 + take_wide(&in, 4), epoch;
    uint32_t line = 0;
    be_thread(0);
    while (bytes_left(&in)) {
        uint32_t code = take(&in), many = code >> 3;
        switch (code & 7) {
        case 0: clock += many; break;
        case 1: clock += UINT64_C(1) << (many % 20); break;
        case 2:
            line = many % LINES;
            be_thread(line);
            break;
        case 3: fill(window, model, line, take_wide(&in, 3), many & 1); break;
        case 4: check(window, model, clock - many, clock); break;
        default:
            epoch = clock - (many & 16 ? many & 15 : 0) - (many == 31 ? 16 : 0);
            if (is_lap(model, line, epoch)) break;
            /* On the shared line what is later than the whole window may count in the past. */
            if (line == SHARDS && epoch + WINDOW_BUCKETS <= model->newest[line]) break;
            window_add(window, line, line < SHARDS, epoch, code & 1 ? WINDOW_BAD : WINDOW_GOOD);
            model_add(model, line, epoch, code & 1);
            break;
        }
    }
    check(window, model, clock, clock);
    check(window, model, clock - 15, clock);
    check(window, model, 0, clock + 3);
    free(window);
    free(model);
    be_thread(own);
    return 0;
}
