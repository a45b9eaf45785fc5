# One library per folder; its DEPS line is the architecture.

add_library(stepcast_flags INTERFACE)
target_compile_features(stepcast_flags INTERFACE cxx_std_20)
target_include_directories(stepcast_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_compile_options(stepcast_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                                                $<$<BOOL:${STEPCAST_WERROR}>:-Werror>)
if(STEPCAST_SANITIZE)
  target_compile_options(stepcast_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                                                  -fno-omit-frame-pointer)
  target_link_options(stepcast_flags INTERFACE -fsanitize=address,undefined)
endif()

# stepcast_library(name SOURCES a.cpp ... DEPS stepcast::b ... PRIVATE_DEPS third::party ...)
function(stepcast_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(stepcast_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(stepcast_${name} PUBLIC ${ARG_DEPS} PRIVATE stepcast_flags ${ARG_PRIVATE_DEPS})
    target_compile_features(stepcast_${name} PUBLIC cxx_std_20)
  else()
    add_library(stepcast_${name} INTERFACE)
    target_link_libraries(stepcast_${name} INTERFACE ${ARG_DEPS})
  endif()
  add_library(stepcast::${name} ALIAS stepcast_${name})
endfunction()
