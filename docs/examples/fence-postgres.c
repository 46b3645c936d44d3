/* A fence in PostgreSQL: two columns beside the row that the lock protects. fence-postgres CONNINFO. */
#include "expect.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <string.h>
#include <weir/fence.h>

/* Whether the row was written: no row, no right. */
static bool set_amount(PGconn *database, int row, int amount, struct weir_fence fence)
{
    char text[4][24];
    const char *values[] = { text[0], text[1], text[2], text[3] };
    snprintf(text[0], sizeof text[0], "%d", row);
    snprintf(text[1], sizeof text[1], "%d", amount);
    snprintf(text[2], sizeof text[2], "%" PRIu64, fence.token);
    snprintf(text[3], sizeof text[3], "%" PRIu64, fence.nonce);
    PGresult *result = PQexecParams(database,
        "UPDATE stock SET amount = $2::int, token = $3::bigint, nonce = $4::bigint WHERE id = $1::int"
        " AND (token < $3::bigint OR (token = $3::bigint AND nonce = $4::bigint))",
        4, NULL, values, NULL, NULL, 0);
    EXPECT(PQresultStatus(result) == PGRES_COMMAND_OK);
    bool written = strcmp(PQcmdTuples(result), "1") == 0;
    PQclear(result);
    return written;
}

static void run(PGconn *database, const char *statement)
{
    PGresult *result = PQexec(database, statement);
    EXPECT(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
}

int main(int argc, char **argv)
{
    EXPECT(argc == 2);
    PGconn *database = PQconnectdb(argv[1]);
    EXPECT(PQstatus(database) == CONNECTION_OK);
    run(database,
        "CREATE TEMP TABLE stock (id int PRIMARY KEY, amount int NOT NULL,"
        " token bigint NOT NULL DEFAULT 0, nonce bigint NOT NULL DEFAULT 0)");
    run(database, "INSERT INTO stock (id, amount) VALUES (1, 100)");

    struct weir_fence first = { .token = 1764288000000001, .nonce = 11 };
    struct weir_fence second = { .token = 1764288012000000, .nonce = 9007199254740991 };
    EXPECT(set_amount(database, 1, 90, first));
    EXPECT(set_amount(database, 1, 80, second));
    EXPECT(set_amount(database, 1, 70, second)); /* the same holder goes on */
    EXPECT(!set_amount(database, 1, 60, first)); /* the one before comes late */
    struct weir_fence twin = { .token = second.token, .nonce = 12 };
    EXPECT(!set_amount(database, 1, 50, twin));
    PQfinish(database);
}
