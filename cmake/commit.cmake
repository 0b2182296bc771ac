# Writes the commit that is being built, with a + if files differ from it, to FILE as PTXGEN_COMMIT; "unknown" where
# SOURCE is no git checkout. Run before every build; the file changes only when the commit does.
#   cmake -D SOURCE=... -D FILE=... -P commit.cmake
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty=+ --exclude=* OUTPUT_VARIABLE commit
  RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(failed OR NOT EXISTS ${SOURCE}/.git)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${FILE} CONTENT "#define PTXGEN_COMMIT \"@commit@\"\n" @ONLY)
