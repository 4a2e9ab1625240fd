# PARA_FLAGS(VARIABLE, FLAGS): append to VARIABLE those of FLAGS that the compiler takes.
AC_DEFUN([PARA_FLAGS], [m4_foreach_w([para_flag], [$2], [_PARA_FLAG([$1], m4_defn([para_flag]))])])

AC_DEFUN([_PARA_FLAG], [
    AS_VAR_PUSHDEF([para_Takes], [para_cv_flag_$2])
    AC_CACHE_CHECK([whether $CC takes $2], [para_Takes], [_PARA_TRY_FLAG([$2], [AC_COMPILE_IFELSE], [para_Takes])])
    AS_VAR_IF([para_Takes], [yes], [AS_VAR_APPEND([$1], [" $2"])])
    AS_VAR_POPDEF([para_Takes])])

# PARA_NEED_FLAG(FLAG, OPTION): fail unless the compiler links a program with FLAG, which OPTION asked for.
AC_DEFUN([PARA_NEED_FLAG], [
    AC_MSG_CHECKING([whether $CC links with $1])
    _PARA_TRY_FLAG([$1], [AC_LINK_IFELSE], [para_links])
    AC_MSG_RESULT([$para_links])
    AS_IF([test "$para_links" = no],
        [AC_MSG_ERROR([$2: $CC can't link with $1 (Debian: libasan and libubsan come with gcc, libclang-rt-dev for clang)])])])

AC_DEFUN([_PARA_TRY_FLAG], [
    para_saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $1"
    $2([AC_LANG_PROGRAM()], [AS_VAR_SET([$3], [yes])], [AS_VAR_SET([$3], [no])])
    CFLAGS=$para_saved_CFLAGS])

# PARA_NEED(PREFIX, MODULE, DEBIAN-PACKAGE): find a pkg-config module or fail, saying what to install.
AC_DEFUN([PARA_NEED], [PKG_CHECK_MODULES([$1], [$2], [],
    [AC_MSG_ERROR([$2 not found: $][$1][_PKG_ERRORS (Debian: $3)])])])

# PARA_NEED_FUNCTION(PREFIX, HEADER, CALL, DEBIAN-PACKAGE): fail unless a program making CALL links.
AC_DEFUN([PARA_NEED_FUNCTION], [
    AC_MSG_CHECKING([whether $3 links])
    para_saved_CPPFLAGS=$CPPFLAGS para_saved_LIBS=$LIBS
    CPPFLAGS="$CPPFLAGS $$1_CFLAGS" LIBS="$$1_LIBS $LIBS"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([#include <$2>], [$3])], [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])
         AC_MSG_ERROR([<$2> and $$1_LIBS don't give $3 (Debian: $4)])])
    CPPFLAGS=$para_saved_CPPFLAGS LIBS=$para_saved_LIBS])

# PARA_SYSTEM_HEADERS(VARIABLE): turn -I into -isystem, so that warnings in others' headers stay silent.
AC_DEFUN([PARA_SYSTEM_HEADERS], [$1=$(AS_ECHO(["$$1"]) | sed 's/-I */-isystem /g')])

# PARA_CUDA: --with-cuda[=DIR]. Sets with_cuda to yes or no, and NVCC, CUDA_CFLAGS, CUDA_LIBS. On where StarPU has CUDA
# and nvcc is found; asked for and missing, either is an error.
AC_DEFUN([PARA_CUDA], [
    AC_ARG_WITH([cuda], [AS_HELP_STRING([--with-cuda@<:@=DIR@:>@],
        [kernels for NVIDIA GPUs, with the CUDA toolkit in DIR; by default where StarPU has CUDA and nvcc is found])],
        [], [with_cuda=auto])
    AC_ARG_VAR([NVCC], [CUDA compiler; by default that of --with-cuda=DIR, else nvcc])
    AC_ARG_VAR([NVCCFLAGS], [CUDA compiler flags, put last])
    para_cuda=$with_cuda para_cuda_dirs=$PATH:/usr/local/cuda/bin
    AS_CASE([$with_cuda], [no], [], [yes|auto], [], [para_cuda_dirs=$with_cuda/bin with_cuda=yes])
    AS_IF([test "$with_cuda" != no], [
        AC_PATH_PROG([NVCC], [nvcc], [], [$para_cuda_dirs])
        AC_CACHE_CHECK([whether StarPU has CUDA], [para_cv_starpu_cuda], [
            para_saved_CPPFLAGS=$CPPFLAGS
            CPPFLAGS="$CPPFLAGS $STARPU_CFLAGS"
            AC_PREPROC_IFELSE([AC_LANG_SOURCE([[#include <starpu_config.h>
#ifndef STARPU_USE_CUDA
#error no
#endif]])], [para_cv_starpu_cuda=yes], [para_cv_starpu_cuda=no])
            CPPFLAGS=$para_saved_CPPFLAGS])
        AS_IF([test "$para_cv_starpu_cuda" = yes && test -n "$NVCC"], [with_cuda=yes],
            [test "$with_cuda" = auto], [with_cuda=no],
            [test -z "$NVCC"], [AC_MSG_ERROR([--with-cuda=$para_cuda: no nvcc in $para_cuda_dirs])],
            [AC_MSG_ERROR([--with-cuda: this StarPU is built without CUDA; scripts/build-starpu --cuda builds one with it])])])
    AS_IF([test "$with_cuda" = yes], [
        para_cuda=$(dirname "$(dirname "$(readlink -f "$NVCC")")")
        CUDA_CFLAGS="-isystem $para_cuda/include"
        CUDA_LIBS="-L$para_cuda/lib64 -Wl,-rpath,$para_cuda/lib64 -lcublasLt -lcudart"
        PARA_NEED_FUNCTION([CUDA], [cublasLt.h], [cublasLtGetVersion()], [nvidia-cuda-toolkit])
        AC_DEFINE([PARA_HAVE_CUDA], [1], [Define to build kernels for NVIDIA GPUs.])])
    AC_SUBST([CUDA_CFLAGS])
    AC_SUBST([CUDA_LIBS])
    AM_CONDITIONAL([CUDA], [test "$with_cuda" = yes])])
