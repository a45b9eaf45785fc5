# One library per folder; its DEPS line is the architecture.

add_library(stepcast_flags INTERFACE)
target_include_directories(stepcast_flags INTERFACE ${PROJECT_SOURCE_DIR})
# What protoc writes is not ours to warn about.
target_include_directories(stepcast_flags SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/generated)
target_compile_options(stepcast_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion>
  # The same input gives the same bytes on every machine: no fused multiply-add where the processor happens to have one.
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)

# GCC 12 warns of std::string's own copies when it optimises (gcc.gnu.org/PR105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(stepcast_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()

# Newer compilers find new things to warn about; that must not stop a user's build.
set(newest_known_GNU 12)
set(newest_known_Clang 14)
string(REGEX MATCH "^[0-9]+" compiler_major "${CMAKE_CXX_COMPILER_VERSION}")
if(STEPCAST_WERROR)
  if(compiler_major LESS_EQUAL "${newest_known_${CMAKE_CXX_COMPILER_ID}}")
    target_compile_options(stepcast_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
  else()
    message(STATUS "Warnings stay warnings with ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  endif()
endif()

if(STEPCAST_SANITIZE)
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_compile_options(stepcast_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${sanitize}>)
  target_compile_definitions(stepcast_flags INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(stepcast_flags INTERFACE -fsanitize=address,undefined)
endif()
if(STEPCAST_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    message(FATAL_ERROR "libFuzzer comes with clang: cmake --preset fuzz")
  endif()
  target_compile_options(stepcast_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)
endif()

# Its name since yaml-cpp 0.8.
if(TARGET yaml-cpp AND NOT TARGET yaml-cpp::yaml-cpp)
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()

# stepcast_library(name SOURCES a.cpp ... DEPS stepcast::b ... PRIVATE_DEPS third::party ...)
function(stepcast_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS")
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "stepcast_library(${name}): what is '${ARG_UNPARSED_ARGUMENTS}'?")
  endif()
  if(ARG_SOURCES)
    add_library(stepcast_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(stepcast_${name} PUBLIC ${ARG_DEPS} PRIVATE stepcast_flags ${ARG_PRIVATE_DEPS})
  else()
    add_library(stepcast_${name} INTERFACE)
    target_link_libraries(stepcast_${name} INTERFACE ${ARG_DEPS})
  endif()
  add_library(stepcast::${name} ALIAS stepcast_${name})
endfunction()
