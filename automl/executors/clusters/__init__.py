"""Clusters: files that start Ray on Slurm, on hosts reached by SSH and on Kubernetes, and what each node has."""
