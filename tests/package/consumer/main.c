/* Uses weir the way any program does; prints its version. */
#include <stdio.h>
#include <weir/base.h>

int main(void)
{
    puts(weir_version());
    return 0;
}
