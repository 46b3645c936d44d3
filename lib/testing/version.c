#include <weir/base.h>

WEIR_API const char *weir_testing_version(void);
const char *weir_testing_version(void)
{
    return weir_version();
}
