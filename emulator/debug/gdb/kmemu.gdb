# Commands for gdb 11 and later: gdb kernel.elf -x kmemu.gdb -ex "target remote :1234"
#
# A server can say that its machine stands somewhere else only in an answer to what lets it run. So after "monitor goto" gdb would go on to show
# registers, and the stack, as they were. With this it forgets both after each monitor command; a packet lets kmemu know.

define kmemu-forget
  pipe maintenance flush register-cache | cat > /dev/null
  pipe maintenance flush dcache | cat > /dev/null
end
document kmemu-forget
Forget what is known of the machine, and ask for it again when it is needed.
end

define hook-monitor
  pipe maintenance packet QKmemuForgets | cat > /dev/null
end

define hookpost-monitor
  kmemu-forget
end

kmemu-forget
