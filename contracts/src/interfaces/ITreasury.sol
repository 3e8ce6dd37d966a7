// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The one asset a deployment settles in
/// @notice Amounts are named wei whatever the asset is: its smallest unit.
interface ITreasury {
    /// @notice The asset is a token; ether is not taken.
    error NotEther(address asset);
    /// @notice The asset is ether; no token is taken.
    error NotAToken(address asset);
    /// @notice A transfer moved another amount than it should have: the token takes a fee, or changes balances by
    ///         itself.
    error TokensMiscounted(uint256 expectedBalanceWei, uint256 gotBalanceWei);
    /// @notice Of the token there is less than what is owed: it took some away. Nothing more is taken in.
    error TokensMissing(uint256 owedWei, uint256 gotWei);
    error AmountTooHigh(uint256 gotWei);
    error TransferFailed(address to, uint256 amountWei);

    /// @notice What fees and stakes are paid in: the zero address for ether, else one ERC-20 token, for ever.
    // solhint-disable-next-line func-name-mixedcase
    function ASSET() external view returns (address);

    /// @notice Tokens that came in and have not gone out, in their smallest unit; 0 where the asset is ether.
    function heldTokensWei() external view returns (uint256);
}
