# The fake driver of the tests without a GPU, and the comparison with cuda.h where there is one.
add_library(fake_libcuda MODULE ${CMAKE_CURRENT_SOURCE_DIR}/runtime/cuda/fake/fake_libcuda.cpp)
target_include_directories(fake_libcuda PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_features(fake_libcuda PRIVATE cxx_std_20)
target_link_libraries(fake_libcuda PRIVATE ptxgen_settings)
target_compile_definitions(test-runtime-cuda PRIVATE PTXGEN_FAKE_LIBCUDA="$<TARGET_FILE:fake_libcuda>")
add_dependencies(test-runtime-cuda fake_libcuda)

file(GLOB pip_includes ${PROJECT_SOURCE_DIR}/.cache/venv/lib/python3*/site-packages/nvidia/cu13/include)
find_path(PTXGEN_CUDA_INCLUDE cuda.h
  HINTS $ENV{PTXGEN_CUDA_INCLUDE} ${pip_includes} $ENV{CUDA_HOME}/include /usr/local/cuda/include
  DOC "Folder of a cuda.h that the tests compare the project's own declarations with")
if(PTXGEN_CUDA_INCLUDE)
  target_compile_definitions(test-runtime-cuda PRIVATE PTXGEN_HAVE_CUDA_H)
  target_include_directories(test-runtime-cuda SYSTEM PRIVATE ${PTXGEN_CUDA_INCLUDE})
endif()
