#!/bin/sh
# Any program that prints a line of JSON after each epoch; here awk, called with --lr=... and --seed=...
lr=${1#--lr=}
seed=${2#--seed=}
awk -v lr="$lr" -v seed="$seed" 'BEGIN {
  srand(seed); w = 4
  for (epoch = 1; epoch <= 10; epoch++) {
    w -= lr * 2 * (w - 1)
    printf "{\"step\": %d, \"val_loss\": %.6f}\n", epoch, (w - 1) ^ 2 + rand() / 1000
  }
}'
