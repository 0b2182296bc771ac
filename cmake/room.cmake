# Compiler settings that hold for this project's own targets and never for consumers.
add_library(ptxgen_settings INTERFACE)
target_compile_options(ptxgen_settings INTERFACE -Wall -Wextra -Wnon-virtual-dtor
  $<$<BOOL:${PTXGEN_WERROR}>:-Werror>)
# clang's also means names that the modifier tags of namespace ptxgen have: `row`, `shared`.
target_compile_options(ptxgen_settings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wshadow>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # std::string's operator+ sets it off falsely (GCC bug 105651).
  target_compile_options(ptxgen_settings INTERFACE -Wno-restrict)
endif()
if(PTXGEN_SANITIZE)
  target_compile_options(ptxgen_settings INTERFACE -fsanitize=${PTXGEN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(ptxgen_settings INTERFACE -fsanitize=${PTXGEN_SANITIZE})
endif()
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endif()

# ptxgen_room(NAME LINKS public... PRIVATE_LINKS private...)
# One library per room: every .cpp below the folder NAME, target ptxgen::NAME.
function(ptxgen_room name)
  cmake_parse_arguments(ARG "" "" "LINKS;PRIVATE_LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/runtime/emulator/exec/") # built by emulator.cmake
  set(target ptxgen_${name})
  if(name STREQUAL ptxgen)
    set(target ptxgen)
  endif()
  if(NOT sources) # a room of headers
    add_library(${target} INTERFACE)
    add_library(ptxgen::${name} ALIAS ${target})
    set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
    target_link_libraries(${target} INTERFACE ${ARG_LINKS})
    return()
  endif()
  add_library(${target} STATIC ${sources})
  add_library(ptxgen::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} OUTPUT_NAME ${target} POSITION_INDEPENDENT_CODE ON)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${PTXGEN_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${target} PUBLIC ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS} $<BUILD_INTERFACE:ptxgen_settings>)
endfunction()

# Code that runs once per kernel or test, not per element: builds faster with less optimisation, and nobody waits for it.
function(ptxgen_lightly_optimised target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()
