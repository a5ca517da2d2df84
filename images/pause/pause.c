/* Holds a pod's namespaces until it is told to stop, and reaps what a pod with one shared process namespace orphans. */
#include <signal.h>
#include <sys/wait.h>

int main(void) {
    sigset_t every;
    sigfillset(&every);
    /* The kernel drops what process 1 does not ask for; blocked and waited for, no signal is lost or needs a handler. */
    if (sigprocmask(SIG_BLOCK, &every, 0)) return 1;
    for (;;) {
        int signal;
        if (sigwait(&every, &signal)) return 1;
        if (signal == SIGTERM || signal == SIGINT) return 0;
        if (signal == SIGCHLD) while (waitpid(-1, 0, WNOHANG) > 0);
    }
}
