# The emulator's instruction handlers (runtime/emulator/exec) are compiled once for each instruction set; the widest that
# the processor has is picked at run time. IEEE results: no contraction, no fast-math; the flags below change no value.
function(ptxgen_emulator_levels target)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/runtime/emulator/exec/*.cpp)
  set(levels baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    list(APPEND levels avx2 avx512)
    target_compile_definitions(${target} PRIVATE PTXGEN_EMULATOR_X86_LEVELS)
  endif()
  foreach(level ${levels})
    set(objects ptxgen_emulator_${level})
    add_library(${objects} OBJECT ${sources})
    set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    target_compile_features(${objects} PRIVATE cxx_std_20)
    target_include_directories(${objects} PRIVATE ${PROJECT_SOURCE_DIR})
    target_link_libraries(${objects} PRIVATE ptxgen_settings)
    target_compile_definitions(${objects} PRIVATE PTXGEN_EMULATOR_LEVEL=${level})
    target_compile_options(${objects} PRIVATE $<IF:$<CONFIG:Debug>,-O1,-O3>
      -ffp-contract=off -fno-strict-aliasing -fno-math-errno -fno-trapping-math
      $<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>) # tells which lane loops stay scalar
    if(level STREQUAL avx2)
      target_compile_options(${objects} PRIVATE -march=x86-64-v3)
    elseif(level STREQUAL avx512)
      target_compile_options(${objects} PRIVATE -march=x86-64-v4 -mprefer-vector-width=512)
    endif()
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
  endforeach()
endfunction()
