# Compiles through ccache when it is there; a launcher that the user chose stays.

find_program(STEPCAST_CCACHE ccache)
mark_as_advanced(STEPCAST_CCACHE)
if(STEPCAST_CCACHE)
  foreach(language CXX CUDA)
    if(NOT DEFINED CMAKE_${language}_COMPILER_LAUNCHER)
      set(CMAKE_${language}_COMPILER_LAUNCHER ${STEPCAST_CCACHE})
    endif()
  endforeach()
endif()
