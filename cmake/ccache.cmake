# Compiles through ccache when it is there; a launcher that the user chose stays. Paths are taken relative to the
# checkout, so that several checkouts of one machine (worktrees, fresh clones) share what they compiled.

find_program(STEPCAST_CCACHE ccache)
mark_as_advanced(STEPCAST_CCACHE)
if(STEPCAST_CCACHE)
  foreach(language CXX CUDA)
    if(NOT DEFINED CMAKE_${language}_COMPILER_LAUNCHER)
      set(CMAKE_${language}_COMPILER_LAUNCHER
          ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${STEPCAST_CCACHE})
    endif()
  endforeach()
endif()
