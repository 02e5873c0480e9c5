# Compiler, linker and cache: everything that makes a build strict or quick.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)

include(GNUInstallDirs)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(CAIRN_CCACHE ccache)
if(CAIRN_CCACHE)
  # Paths relative to the checkout, so that a second checkout and another build folder hit what the first has filled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CAIRN_CCACHE})
endif()

# mold links a test binary in a tenth of the time of GNU ld; lld is nearly as good.
find_program(CAIRN_MOLD mold)
find_program(CAIRN_LLD ld.lld)
if(CAIRN_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(CAIRN_LLD)
  add_link_options(-fuse-ld=lld)
endif()

if(CAIRN_BUILD_FUZZERS)
  # Coverage of the libraries under test, not of the ten lines that call them alone.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(CAIRN_SANITIZE)
  add_compile_options(-fsanitize=${CAIRN_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CAIRN_SANITIZE})
  if(CAIRN_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
