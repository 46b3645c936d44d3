# cmake -DFILES=<a.lua>;<b.lua>... -DOUTPUT=<file.c> -P WeirScripts.cmake: the scripts as texts in C, one string a line.
# Comments and indentation stay out: what is loaded at each connection is short.
set(texts "")
foreach(file IN LISTS FILES)
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} text)
    string(REGEX REPLACE "(^|\n)[ \t]*--[^\n]*" "\\1" text "${text}")
    string(REGEX REPLACE "\n[ \t\n]*" "\n" text "${text}")
    string(REGEX REPLACE "^\n" "" text "${text}")
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
    string(TOUPPER ${name} key)
    string(APPEND texts "static const char ${name}[] =\n    \"${text}\";\n\n")
    string(APPEND entries "    [SCRIPT_${key}] = { \"${name}\", ${name}, sizeof ${name} - 1 },\n")
endforeach()
file(WRITE ${OUTPUT} "/* Made from lib/redis/scripts by cmake/WeirScripts.cmake. */\n#include \"redis/script.h\"\n\n"
     "${texts}const struct script_text script_texts[SCRIPTS] = {\n${entries}};\n")
