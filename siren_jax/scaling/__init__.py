"""What a program costs on a pod of TPUs that is not there."""
