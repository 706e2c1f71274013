"""`headrace poc`: the whole line on one machine, through real Airflow, Ray and Megatron."""
