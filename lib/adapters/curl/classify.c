/* What the end of a transfer says of the callee.
 *
 *     CURLcode      --> ours: IGNORED     a callee cannot be blamed for what this side set up or refused
 *                   --> any other: FAILED NOT_SENT if no byte of the request had left
 *     HTTP status   --> weir_from_http(), with Retry-After; no "declined" behind a redirect
 *
 * Whatever is not known to be ours counts as the callee's: a breaker that opens too early is seen, one that never
 * opens is not. */
#include "misuse.h"
#include "tally.h"

#include <weir/curl.h>

#define STATUS_MIN 100
#define RETRY_AFTER_S_MAX 86400

/* Of this side's making: options, callbacks, memory, files, rights. */
static bool is_ours(CURLcode code, bool sent)
{
    switch ((int)code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_OUT_OF_MEMORY: return !sent; /* later its answer is no HTTP, leads nowhere, or has no end */
    case CURLE_FAILED_INIT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_REMOTE_ACCESS_DENIED: /* a callee that says no to this request is well */
    case CURLE_WRITE_ERROR:
    case CURLE_READ_ERROR:
    case CURLE_BAD_DOWNLOAD_RESUME:
    case CURLE_FILE_COULDNT_READ_FILE:
    case CURLE_FUNCTION_NOT_FOUND:
    case CURLE_ABORTED_BY_CALLBACK:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_INTERFACE_FAILED:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_SETOPT_OPTION_SYNTAX:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_FILESIZE_EXCEEDED:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_LOGIN_DENIED:
    case CURLE_REMOTE_FILE_NOT_FOUND:
    case CURLE_CHUNK_FAILED:
    case CURLE_NO_CONNECTION_AVAILABLE:
    case 93: /* CURLE_RECURSIVE_API_CALL */
    case 94: /* CURLE_AUTH_ERROR */
    case 98: /* CURLE_SSL_CLIENTCERT */ return true;
    default: return false;
    }
}

/* Whether libcurl counts what it sends (REQUEST_SIZE): HTTP, the only scheme of its that begins with this letter. It
 * is known once a connection stands. */
static bool is_counted(CURL *easy)
{
    const char *scheme = NULL;
    curl_easy_getinfo(easy, CURLINFO_SCHEME, &scheme);
    return scheme == NULL || (scheme[0] | 0x20) == 'h';
}

static bool is_sent(CURL *easy, CURLcode code)
{
    long bytes = 0;
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT: break;
    default:
        if (!is_counted(easy)) return true;
    }
    curl_easy_getinfo(
        easy, CURLINFO_REQUEST_SIZE, &bytes); /* of a redirected transfer: of all its requests */
    return bytes > 0;
}

static uint64_t retry_after_ns(CURL *easy)
{
    curl_off_t seconds = 0;
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0) return 0; /* none, or a date in the past */
    if (seconds > RETRY_AFTER_S_MAX) {
        tally_add(&tally.retry_after_cut);
        seconds = RETRY_AFTER_S_MAX;
    }
    return (uint64_t)seconds * WEIR_S;
}

/* OVERLOADED says that the request was declined, and may be made again whatever it does. Where the last of several
 * servers says so, one before it has taken the request and led on: a payment, say, to its receipt. */
static bool was_led_on(CURL *easy)
{
    long redirects = 0;
    curl_easy_getinfo(easy, CURLINFO_REDIRECT_COUNT, &redirects);
    return redirects > 0;
}

static struct weir_outcome answered(CURL *easy)
{
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    /* A file, or a server too old to say: all of it came. */
    if (status < STATUS_MIN || !is_counted(easy)) return (struct weir_outcome) { .status = WEIR_OK };
    struct weir_outcome outcome = weir_from_http((int)status);
    if (outcome.status != WEIR_OK) outcome.retry_after_ns = retry_after_ns(easy);
    if (outcome.status == WEIR_OVERLOADED && was_led_on(easy)) outcome.status = WEIR_FAILED;
    return outcome;
}

struct weir_outcome weir_curl_outcome(CURL *easy, CURLcode code)
{
    CURL_REQUIRE(easy != NULL, "weir_curl_outcome", "easy is NULL");
    if (code == CURLE_OK || code == CURLE_HTTP_RETURNED_ERROR) return answered(easy);
    bool sent = is_sent(easy, code);
    struct weir_outcome outcome = { .status = WEIR_FAILED, .code = (int32_t)code };
    if (outcome.code >= STATUS_MIN)
        outcome.code = CURLE_RECV_ERROR; /* of a newer libcurl: no status may it be */
    if (is_ours(code, sent)) outcome.status = WEIR_IGNORED;
    if (!sent) outcome.flags = WEIR_NOT_SENT;
    return outcome;
}
