-- Whether scripts are run: what a healthy server answers at once, and a paused or busy one does not.
return 1
