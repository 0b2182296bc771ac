# Builds and runs the consumer project in one of three WAYs:
#   installed     this build, installed and found by find_package
#   subdirectory  the sources, with add_subdirectory and all options at their defaults
#   core          without tests, tools and runtime: configured and built so, installed, found by find_package
# SOURCE, BUILD: of ptxgen. SCRATCH: a folder for all that is made. COMPILER, LAUNCHER, GENERATOR: as in BUILD.
set(scratch ${SCRATCH}/${WAY})
set(prefix ${scratch}/prefix)
file(REMOVE_RECURSE ${scratch})

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed)
  if(failed)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "failed (${failed}): ${command}")
  endif()
endfunction()

# Unoptimised: what is tested is that it builds and links.
set(configure ${CMAKE_COMMAND} -G ${GENERATOR} -D CMAKE_BUILD_TYPE=Debug -D CMAKE_CXX_COMPILER=${COMPILER}
  -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -D CMAKE_CXX_FLAGS_DEBUG=-O0)

set(options -D CMAKE_PREFIX_PATH=${prefix})
if(WAY STREQUAL "installed")
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
elseif(WAY STREQUAL "subdirectory")
  set(options -D PTXGEN_SUBDIRECTORY=${SOURCE})
elseif(WAY STREQUAL "core")
  run(${configure} -S ${SOURCE} -B ${scratch}/ptxgen -D CMAKE_INSTALL_PREFIX=${prefix}
    -D PTXGEN_TESTS=OFF -D PTXGEN_TOOLS=OFF -D PTXGEN_RUNTIME=OFF)
  run(${CMAKE_COMMAND} --build ${scratch}/ptxgen --parallel 2 --target install)
  if(EXISTS ${prefix}/bin)
    message(FATAL_ERROR "programs were installed although the tools were left out")
  endif()
  list(APPEND options -D WITH_RUNTIME=OFF)
else()
  message(FATAL_ERROR "WAY is installed, subdirectory or core, not '${WAY}'")
endif()

run(${configure} -S ${SOURCE}/tests/consumer -B ${scratch}/consumer ${options})
run(${CMAKE_COMMAND} --build ${scratch}/consumer --parallel 2)
run(${CMAKE_CTEST_COMMAND} --test-dir ${scratch}/consumer --output-on-failure --no-tests=error)
# Hundreds of megabytes of unoptimised objects are not worth keeping.
file(REMOVE_RECURSE ${scratch})
