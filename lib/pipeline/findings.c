#include "pipeline/findings.h"

#include <stdarg.h>

void findings_add(
    struct findings *findings, enum weir_finding_kind kind, uint32_t position, const char *format, ...)
{
    size_t place = findings->count++;
    if (place >= findings->max) return;
    struct weir_finding *finding = &findings->list[place];
    finding->kind = kind;
    finding->position = position;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
}
