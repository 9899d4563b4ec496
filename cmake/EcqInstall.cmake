# libecq, what `cmake --install` installs, and the Debian package.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Shared only: an archive would drag every module, their libraries and the C++ runtime into the link of
# each C program, and could hide none of their symbols.
target_compile_definitions(ecq_c PRIVATE ECQ_VERSION="${PROJECT_VERSION}")
add_library(libecq SHARED $<TARGET_OBJECTS:ecq_c>)
add_library(ecq::ecq ALIAS libecq)
target_link_libraries(libecq PRIVATE ecq_runtime ecq_format ecq_backend)
target_include_directories(libecq INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/ecq/c>
                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set_target_properties(libecq PROPERTIES OUTPUT_NAME ecq EXPORT_NAME ecq LINKER_LANGUAGE CXX
                      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  # Templates of the standard library would be exported in spite of -fvisibility=hidden.
  set(version_script ${PROJECT_SOURCE_DIR}/cmake/libecq.map)
  target_link_options(libecq PRIVATE LINKER:--version-script=${version_script})
  set_target_properties(libecq PROPERTIES LINK_DEPENDS ${version_script})
endif()

# The program describes itself, so that page and completions show what it really takes.
set(docs_dir ${PROJECT_BINARY_DIR}/docs)
file(MAKE_DIRECTORY ${docs_dir})
function(ecq_write_doc file)
  add_custom_command(OUTPUT ${docs_dir}/${file} COMMAND ecq ${ARGN} > ${docs_dir}/${file}
                     DEPENDS ecq COMMENT "Writing ${file}")
endfunction()
ecq_write_doc(ecq.1 man)
ecq_write_doc(ecq.bash completion bash)
ecq_write_doc(_ecq completion zsh)
ecq_write_doc(ecq.fish completion fish)
add_custom_target(ecq_docs ALL DEPENDS ${docs_dir}/ecq.1 ${docs_dir}/ecq.bash ${docs_dir}/_ecq
                                       ${docs_dir}/ecq.fish)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ecq)
file(RELATIVE_PATH ECQ_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" ECQ_PC_TO_PREFIX "${ECQ_PC_TO_PREFIX}")
configure_file(cmake/ecq.pc.in ${PROJECT_BINARY_DIR}/ecq.pc @ONLY)
configure_package_config_file(cmake/ecqConfig.cmake.in ${PROJECT_BINARY_DIR}/ecqConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ecqConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)

install(TARGETS ecq)
install(TARGETS libecq EXPORT ecqTargets)
install(FILES ecq/c/ecq.h TYPE INCLUDE)
install(EXPORT ecqTargets NAMESPACE ecq:: DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/ecqConfig.cmake ${PROJECT_BINARY_DIR}/ecqConfigVersion.cmake
        DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/ecq.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${docs_dir}/ecq.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${docs_dir}/ecq.bash RENAME ecq
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${docs_dir}/_ecq DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${docs_dir}/ecq.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES examples/c/generate.c examples/c/CMakeLists.txt
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/c)

set(ECQ_MAINTAINER "ECQ maintainers <maintainers@ecq.invalid>" CACHE STRING
    "Who answers for the Debian package: Name <address>")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT ${ECQ_MAINTAINER})
set(CPACK_PACKAGE_VENDOR ECQ)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "language models quantized for an entropy coder")
set(CPACK_PACKAGE_DESCRIPTION
    "ECQ rounds the weights of language models to integers, codes them near
their entropy, keeps them coded in memory and decodes them inside the
matrix product. This package has the command, the library libecq with its
C interface, and what programs need to build against it.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
file(WRITE ${PROJECT_BINARY_DIR}/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/triggers)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/DebianPolicy.cmake)
include(CPack)
