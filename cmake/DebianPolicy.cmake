# Run by CPack on the staged tree of the Debian package: compresses and names documents as Debian policy
# (12.1, 12.5, 12.7) asks.
if(NOT CPACK_GENERATOR STREQUAL "DEB")
  return()
endif()
set(share ${CPACK_TEMPORARY_INSTALL_DIRECTORY}${CPACK_PACKAGING_INSTALL_PREFIX}/share)
set(doc ${share}/doc/ecq)
file(RENAME ${doc}/CHANGELOG.md ${doc}/changelog)
execute_process(COMMAND gzip -9n ${doc}/changelog ${share}/man/man1/ecq.1 COMMAND_ERROR_IS_FATAL ANY)
file(REMOVE ${doc}/LICENSE)
file(WRITE ${doc}/copyright "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: ecq

Files: *
Copyright: the ECQ authors
License: Apache-2.0

Comment: The program holds data/calibration.txt, whose parts have licenses of their own:
 articles of Wikipedia (CC-BY-SA-3.0, WikiText-2), plays of Shakespeare (public domain), TinyStories
 (CDLA-Sharing-1.0) and source code of this project.

License: Apache-2.0
 On Debian systems, the full text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
")
