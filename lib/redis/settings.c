#include "redis/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TYPE "weir_redis_config"

static enum weir_error check_size(const struct weir_redis_config *given, struct weir_redis_config *c)
{
    const unsigned char *bytes = (const unsigned char *)given;
    if (given == NULL) return WEIR_E_NONE;
    if (given->size < sizeof *c || given->size > 4096) {
        return weir_carrier_error(WEIR_E_SIZE,
            TYPE ".size is %" PRIu32 ", expected %zu (use WEIR_CONFIG or " TYPE "_init)", given->size,
            sizeof *c);
    }
    for (uint32_t i = sizeof *c; i < given->size; i++) {
        if (bytes[i] == 0) continue;
        return weir_carrier_error(WEIR_E_SIZE,
            TYPE ".size is %" PRIu32 ", this version knows %zu bytes and byte %" PRIu32
                 " beyond them is not 0",
            given->size, sizeof *c, i);
    }
    memcpy(c, given, sizeof *c);
    return WEIR_E_NONE;
}

static enum weir_error range(
    const char *field, uint64_t given, uint64_t standard, uint64_t low, uint64_t high, uint64_t *value)
{
    *value = given == 0 ? standard : given;
    if (*value >= low && *value <= high) return WEIR_E_NONE;
    return weir_carrier_error(WEIR_E_INVALID,
        TYPE ".%s is %" PRIu64 ", expected %" PRIu64 "..%" PRIu64 " (ns)", field, given, low, high);
}

static enum weir_error read_times(const struct weir_redis_config *c, struct settings *s)
{
    enum weir_error error =
        range("command_ns", c->command_ns, 250 * WEIR_MS, 10 * WEIR_MS, 10 * WEIR_S, &s->command_ns);
    if (error != WEIR_E_NONE) return error;
    uint64_t slow_ns = s->command_ns < 20 * WEIR_MS ? s->command_ns : 20 * WEIR_MS;
    error = range("slow_ns", c->slow_ns, slow_ns, WEIR_MS, s->command_ns, &s->slow_ns);
    if (error != WEIR_E_NONE) return error;
    error = range("connect_ns", c->connect_ns, WEIR_S, 10 * WEIR_MS, 60 * WEIR_S, &s->connect_ns);
    if (error != WEIR_E_NONE) return error;
    return range(
        "reconnect_max_ns", c->reconnect_max_ns, WEIR_S, 10 * WEIR_MS, 60 * WEIR_S, &s->reconnect_max_ns);
}

/* Names and credentials; the text of an error never holds what was given. */
static enum weir_error copy(const char *field, const char *given, char *to, size_t longest)
{
    size_t length = given == NULL ? 0 : strnlen(given, longest + 1);
    if (length > longest) {
        return weir_carrier_error(
            WEIR_E_INVALID, TYPE ".%s is too long, expected at most %zu bytes", field, longest);
    }
    if (given != NULL && length == 0) {
        return weir_carrier_error(WEIR_E_INVALID, TYPE ".%s is empty, expected NULL or a text", field);
    }
    if (given != NULL) memcpy(to, given, length);
    to[length] = '\0';
    return WEIR_E_NONE;
}

static enum weir_error read_texts(const struct weir_redis_config *c, struct settings *s)
{
    const char *space = c->space == NULL ? "default" : c->space;
    enum weir_error error = copy("space", space, s->space, WEIR_NAME_MAX);
    if (error == WEIR_E_NONE) error = copy("user", c->user, s->user, CREDENTIAL_MAX);
    if (error == WEIR_E_NONE) error = copy("password", c->password, s->password, CREDENTIAL_MAX);
    if (error == WEIR_E_NONE && c->user != NULL && c->password == NULL) {
        error = weir_carrier_error(WEIR_E_INVALID, TYPE ".password is NULL, expected one, as .user is given");
    }
    return error;
}

/* An address is not told back: somebody may have put a password into it. */
static enum weir_error read_address(const char *field, const char *text, struct address *address)
{
    const char *expected = text == NULL ? "an address" : address_parse(text, address);
    if (expected == NULL) return WEIR_E_NONE;
    return weir_carrier_error(
        WEIR_E_INVALID, TYPE ".%s is %s, expected %s", field, text == NULL ? "NULL" : "malformed", expected);
}

static enum weir_error read_masters(const struct weir_redis_config *c, struct settings *s)
{
    char field[32];
    if (c->address != NULL || c->addresses == NULL) {
        return weir_carrier_error(WEIR_E_INVALID,
            TYPE ".masters is %" PRIu32 ", expected .addresses of as many, and no .address", c->masters);
    }
    if (c->masters < 3 || c->masters > WEIR_NODES_MAX || c->masters % 2 == 0) {
        return weir_carrier_error(
            WEIR_E_INVALID, TYPE ".masters is %" PRIu32 ", expected 3, 5 or 7", c->masters);
    }
    s->nodes = c->masters;
    for (uint32_t i = 0; i < s->nodes; i++) {
        snprintf(field, sizeof field, "addresses[%" PRIu32 "]", i);
        enum weir_error error = read_address(field, c->addresses[i], &s->address[i]);
        if (error != WEIR_E_NONE) return error;
        for (uint32_t j = 0; j < i; j++) {
            if (!address_equal(&s->address[i], &s->address[j])) continue;
            return weir_carrier_error(WEIR_E_INVALID,
                TYPE ".%s is that of addresses[%" PRIu32 "], expected masters of their own", field, j);
        }
    }
    return WEIR_E_NONE;
}

static enum weir_error read_addresses(const struct weir_redis_config *c, struct settings *s)
{
    if (c->masters != 0) return read_masters(c, s);
    if (c->addresses != NULL) {
        return weir_carrier_error(
            WEIR_E_INVALID, TYPE ".masters is 0, expected how many .addresses there are");
    }
    s->nodes = 1;
    return read_address("address", c->address == NULL ? "tcp://127.0.0.1:6379" : c->address, &s->address[0]);
}

static enum weir_error read_all(const struct weir_redis_config *c, struct settings *s)
{
    enum weir_error error = read_addresses(c, s);
    if (error == WEIR_E_NONE) error = read_times(c, s);
    if (error == WEIR_E_NONE) error = read_texts(c, s);
    if (error == WEIR_E_NONE && c->database > 65535) {
        error = weir_carrier_error(
            WEIR_E_INVALID, TYPE ".database is %" PRIu32 ", expected 0..65535", c->database);
    }
    s->database = c->database;
    s->thread = c->thread;
    s->sink = c->sink;
    memcpy(s->instance, c->instance, sizeof s->instance);
    return error;
}

enum weir_error settings_read(const struct weir_redis_config *config, struct settings *settings)
{
    struct weir_redis_config c = weir_redis_config_init();
    memset(settings, 0, sizeof *settings);
    enum weir_error error = check_size(config, &c);
    return error == WEIR_E_NONE ? read_all(&c, settings) : error;
}

void settings_wipe(struct settings *settings)
{
    explicit_bzero(settings->user, sizeof settings->user);
    explicit_bzero(settings->password, sizeof settings->password);
}
