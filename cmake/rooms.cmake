# polysome_tests(NAME SOURCES file… LINK target…): a test program, built and run with unit_tests.
function(polysome_tests name)
  cmake_parse_arguments(TESTS "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} EXCLUDE_FROM_ALL ${TESTS_SOURCES})
  target_link_libraries(${name} PRIVATE ${TESTS_LINK} GTest::gmock_main)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST)
  set_property(GLOBAL APPEND PROPERTY POLYSOME_TESTS ${name})
  if(NOT TARGET unit_tests)
    add_custom_target(unit_tests)
  endif()
  add_dependencies(unit_tests ${name})
endfunction()

# polysome_room(NAME [ROOMS other…] [LINK target…]): the library polysome_NAME from src/NAME/*.cc and,
# when there are any, the test program NAME_test from src/NAME/*_test.cc.
function(polysome_room name)
  cmake_parse_arguments(ROOM "" "" "ROOMS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(TRANSFORM ROOM_ROOMS PREPEND polysome_)
  if(sources)
    add_library(polysome_${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(polysome_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(polysome_${name} ${scope} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(polysome_${name} ${scope} ${ROOM_ROOMS} ${ROOM_LINK})
  target_compile_definitions(polysome_${name} ${scope} POLYSOME_VERSION="${PROJECT_VERSION}")
  if(tests)
    polysome_tests(${name}_test SOURCES ${tests} LINK polysome_${name})
  endif()
endfunction()

# Programs lie at the top of the build folder, beside each other.
function(polysome_program name)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endfunction()

# polysome_embed(NAME FILE): build/embedded/NAME.cc with `std::string_view polysome::embedded::NAME()`.
function(polysome_embed name file)
  add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/embedded/${name}.cc
    COMMAND ${CMAKE_COMMAND} -DNAME=${name} -DINPUT=${file}
            -DOUTPUT=${CMAKE_BINARY_DIR}/embedded/${name}.cc -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${file} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
endfunction()
