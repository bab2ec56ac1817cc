"""System calls without a function in Python, and the numbers of those that a sealed copy may make.

Linux never changes the numbers, but each kind of processor has its own.
"""

from __future__ import annotations

import ctypes
import os
import platform

DIE_WITH_PARENT = 1  # an option of prctl
X86_64, AARCH64 = 0xC000003E, 0xC00000B7  # the processor's number in a filter's input
_ARCHITECTURES = {"x86_64": (X86_64, 0), "aarch64": (AARCH64, 1)}

# Names with their numbers on x86_64 and on aarch64, `-` for none. The calls of the first table only
# read, or change nothing but the process itself.
_HARMLESS = """
brk=12/214 mmap=9/222 munmap=11/215 mremap=25/216 mprotect=10/226 madvise=28/233 mincore=27/232
msync=26/227 membarrier=324/283 get_mempolicy=239/236 read=0/63 write=1/64 readv=19/65
writev=20/66 pread64=17/67 pwrite64=18/68 preadv=295/69 pwritev=296/70 preadv2=327/286
pwritev2=328/287 open=2/- openat=257/56 openat2=437/437 close=3/57 close_range=436/436
lseek=8/62 stat=4/- fstat=5/80 lstat=6/- newfstatat=262/79 statx=332/291 access=21/-
faccessat=269/48 faccessat2=439/439 readlink=89/- readlinkat=267/78 getdents=78/-
getdents64=217/61 getcwd=79/17 chdir=80/49 fchdir=81/50 statfs=137/43 fstatfs=138/44 dup=32/23
dup2=33/- dup3=292/24 fadvise64=221/223 readahead=187/213 getxattr=191/8 lgetxattr=192/9
fgetxattr=193/10 listxattr=194/11 llistxattr=195/12 flistxattr=196/13 umask=95/166 pipe=22/-
pipe2=293/59 sendfile=40/71 poll=7/- ppoll=271/73 select=23/- pselect6=270/72 epoll_create=213/-
epoll_create1=291/20 epoll_ctl=233/21 epoll_wait=232/- epoll_pwait=281/22 epoll_pwait2=441/441
eventfd=284/- eventfd2=290/19 timerfd_create=283/85 timerfd_settime=286/86
timerfd_gettime=287/87 getpid=39/172 getppid=110/173 gettid=186/178 getuid=102/174
geteuid=107/175 getgid=104/176 getegid=108/177 getgroups=115/158 getresuid=118/148
getresgid=120/150 getpgid=121/155 getpgrp=111/- getsid=124/156 getrusage=98/165 times=100/153
sysinfo=99/179 uname=63/160 getcpu=309/168 sched_getaffinity=204/123 sched_getparam=143/121
sched_getscheduler=145/120 sched_get_priority_max=146/125 sched_get_priority_min=147/126
sched_yield=24/124 getpriority=140/141 getrlimit=97/163 capget=125/90 exit=60/93
exit_group=231/94 wait4=61/260 waitid=247/95 arch_prctl=158/- set_tid_address=218/96
set_robust_list=273/99 rseq=334/293 rt_sigaction=13/134 rt_sigprocmask=14/135
rt_sigreturn=15/139 sigaltstack=131/132 rt_sigpending=127/136 rt_sigtimedwait=128/137
rt_sigsuspend=130/133 restart_syscall=219/128 pause=34/- clock_gettime=228/113
clock_getres=229/114 clock_nanosleep=230/115 nanosleep=35/101 gettimeofday=96/169 time=201/-
alarm=37/- setitimer=38/103 getitimer=36/102 futex=202/98 futex_waitv=449/449 getrandom=318/278
recvfrom=45/207
"""
# Harmless depending on their arguments; see filter.py.
_DEPENDS = """
fcntl=72/25 ioctl=16/29 prctl=157/167 prlimit64=302/261 sched_setaffinity=203/122 kill=62/129
tgkill=234/131 clone=56/220 clone3=435/435 sendto=44/206 flock=73/32 fsync=74/82 fdatasync=75/83
socketpair=53/199
"""
_SEALING = """
landlock_create_ruleset=444/444 landlock_add_rule=445/445 landlock_restrict_self=446/446
seccomp=317/277 capset=126/91
"""


def architecture() -> int | None:
    """Return the processor's number for a filter, None if its system calls are unknown."""
    entry = _ARCHITECTURES.get(platform.machine())
    return entry[0] if entry is not None else None


def _numbers(table: str) -> dict[str, int]:
    architecture_entry = _ARCHITECTURES.get(platform.machine())
    if architecture_entry is None:
        return {}
    rows = (entry.partition("=")[::2] for entry in table.split())
    numbers = {name: both.split("/")[architecture_entry[1]] for name, both in rows}
    return {name: int(number) for name, number in numbers.items() if number != "-"}


HARMLESS = _numbers(_HARMLESS)
DEPENDS = _numbers(_DEPENDS)
_OWN = _numbers(_SEALING)


def call(name: str, *arguments: int | ctypes._SimpleCData[int] | object) -> int:
    """Make one of the sealing calls and return its result; raise OSError if it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(ctypes.c_long(_OWN[name]), *arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, *values: int) -> None:
    """Change a property of this process; raise OSError if that fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [*values, 0, 0, 0, 0][:4]
    if libc.prctl(option, *map(ctypes.c_ulong, padded)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")
