# Cross-compiles for AArch64 Linux with the libraries of ECQ_SYSROOT (tools/aarch64_sysroot.sh) and runs what
# it built, tests included, under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(ECQ_SYSROOT "" CACHE PATH "Folder with the AArch64 libraries")
if(NOT EXISTS ${ECQ_SYSROOT}/usr/include)
  message(FATAL_ERROR "ECQ_SYSROOT=${ECQ_SYSROOT} holds no libraries: run tools/aarch64_sysroot.sh FOLDER and "
                      "pass -DECQ_SYSROOT=FOLDER")
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ECQ_SYSROOT)
set(CMAKE_SYSROOT ${ECQ_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(libraries ${ECQ_SYSROOT}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE})
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${ECQ_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR}
    ${libraries}/pkgconfig:${libraries}/openblas-pthread/pkgconfig:${ECQ_SYSROOT}/usr/share/pkgconfig)

find_program(ECQ_QEMU NAMES qemu-aarch64-static qemu-aarch64)
if(ECQ_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${ECQ_QEMU} -L ${ECQ_SYSROOT})
endif()
