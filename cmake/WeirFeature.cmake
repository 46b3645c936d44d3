# weir_feature(<name> <default> <text>): an option that is AUTO, ON or OFF. AUTO takes what the machine
# has and says what it left out; ON makes its absence an error.
function(weir_feature name default text)
    set(${name} ${default} CACHE STRING "${text}: AUTO, ON or OFF")
    set_property(CACHE ${name} PROPERTY STRINGS AUTO ON OFF)
    string(TOUPPER "${${name}}" value)
    if(value MATCHES "^(1|YES|TRUE|Y)$")
        set(value ON)
    elseif(value MATCHES "^(0|NO|FALSE|N)$")
        set(value OFF)
    elseif(NOT value MATCHES "^(AUTO|ON|OFF)$")
        message(FATAL_ERROR "${name} is '${${name}}'; expected AUTO, ON or OFF")
    endif()
    set(${name} ${value} PARENT_SCOPE)
endfunction()

# weir_missing(<feature> <what is left out> <why>): what AUTO prints and ON refuses.
function(weir_missing feature what why)
    if(${feature} STREQUAL "ON")
        message(FATAL_ERROR "${feature}=ON: ${why}")
    elseif(${feature} STREQUAL "AUTO")
        message(STATUS "${what}: left out, ${why}")
    endif()
endfunction()
