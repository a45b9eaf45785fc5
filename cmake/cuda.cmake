# Looks for a CUDA toolkit (12 or newer, for C++20) and NCCL. Nothing but calibration/measure needs them.
#
# Sets STEPCAST_CUDA_FOUND, and STEPCAST_NCCL_FOUND with the target stepcast::nccl.
# Another toolkit: CUDA_HOME or CUDACXX in the environment, or -DCMAKE_CUDA_COMPILER=...

set(STEPCAST_CUDA_FOUND FALSE)
set(STEPCAST_NCCL_FOUND FALSE)
if(NOT STEPCAST_CUDA)
  return()
endif()

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(STEPCAST_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin PATHS /usr/local/cuda/bin /opt/cuda/bin)
  mark_as_advanced(STEPCAST_NVCC)
  if(STEPCAST_NVCC)
    set(CMAKE_CUDA_COMPILER ${STEPCAST_NVCC})
  endif()
endif()
# Ampere and Hopper; newer GPUs compile the PTX of the last one when a program starts.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()

include(CheckLanguage)
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  enable_language(CUDA)
  find_package(CUDAToolkit)
endif()
if(CMAKE_CUDA_COMPILER AND CUDAToolkit_FOUND AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12)
  set(STEPCAST_CUDA_FOUND TRUE)
  set(CMAKE_CUDA_STANDARD 20)
  # CMake 3.25 does not know yet that nvcc 12 speaks C++20.
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  find_path(STEPCAST_NCCL_INCLUDE nccl.h HINTS $ENV{NCCL_HOME}/include ${CUDAToolkit_INCLUDE_DIRS})
  find_library(STEPCAST_NCCL_LIBRARY nccl
               HINTS $ENV{NCCL_HOME}/lib ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib)
  mark_as_advanced(STEPCAST_NCCL_INCLUDE STEPCAST_NCCL_LIBRARY)
  if(STEPCAST_NCCL_INCLUDE AND STEPCAST_NCCL_LIBRARY)
    set(STEPCAST_NCCL_FOUND TRUE)
    add_library(stepcast_nccl INTERFACE)
    target_include_directories(stepcast_nccl SYSTEM INTERFACE ${STEPCAST_NCCL_INCLUDE})
    target_link_libraries(stepcast_nccl INTERFACE ${STEPCAST_NCCL_LIBRARY} CUDA::cudart)
    add_library(stepcast::nccl ALIAS stepcast_nccl)
  endif()
  message(STATUS "CUDA ${CUDAToolkit_VERSION}, NCCL found: ${STEPCAST_NCCL_FOUND}")
elseif(STEPCAST_CUDA STREQUAL AUTO)
  message(STATUS "No CUDA toolkit (12 or newer): the microbenchmarks are left out, everything else is built")
else()
  message(FATAL_ERROR "STEPCAST_CUDA is on but no working CUDA toolkit (12 or newer) was found; set CUDA_HOME to it")
endif()
