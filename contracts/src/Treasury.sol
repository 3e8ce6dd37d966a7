// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ITreasury} from "./interfaces/ITreasury.sol";

/// @title Takes in and pays out the asset of a deployment, and believes no token about an amount
/// @notice Every transfer is measured by this contract's own balance before and after. Tokens that take a fee, that
///         answer false, that move another amount or none: refused. A token that takes balances away later cannot be
///         stopped; from then on nothing more of it is taken in, and who withdraws first is paid first.
/// @dev WARNING: a token that can freeze accounts can freeze this one, and with it every fee and stake.
abstract contract Treasury is ITreasury, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @inheritdoc ITreasury
    address public immutable ASSET;

    /// @inheritdoc ITreasury
    uint256 public heldTokensWei;

    /// @param asset The zero address for ether.
    constructor(address asset) {
        if (asset != address(0) && asset.code.length == 0) revert NotAToken(asset);
        ASSET = asset;
    }

    function _requireEther() internal view {
        if (ASSET != address(0)) revert NotEther(ASSET);
    }

    /// @dev Pulls tokens from the caller, who has approved it. Only from functions that hold the re-entrancy guard: the
    ///      token is called between the two measurements. All that is held stays below 2^128, so no sum of balances
    ///      can be more.
    function _takeTokens(uint256 amountWei) internal {
        if (ASSET == address(0)) revert NotAToken(ASSET);
        (IERC20 token, uint256 heldWei) = (IERC20(ASSET), heldTokensWei);
        if (amountWei > type(uint128).max - heldWei) revert AmountTooHigh(amountWei);
        uint256 beforeWei = token.balanceOf(address(this));
        if (beforeWei < heldWei) revert TokensMissing(heldWei, beforeWei);
        heldTokensWei = heldWei + amountWei;
        token.safeTransferFrom(msg.sender, address(this), amountWei);
        _requireBalance(token, beforeWei + amountWei);
    }

    /// @dev Pays out, the last thing an entry point does; only from functions that hold the re-entrancy guard.
    function _give(address payable to, uint256 amountWei) internal {
        if (ASSET == address(0)) {
            (bool isSuccess,) = to.call{value: amountWei}("");
            if (!isSuccess) revert TransferFailed(to, amountWei);
            return;
        }
        IERC20 token = IERC20(ASSET);
        uint256 beforeWei = token.balanceOf(address(this));
        if (beforeWei < amountWei) revert TokensMissing(amountWei, beforeWei);
        heldTokensWei -= amountWei;
        token.safeTransfer(to, amountWei);
        _requireBalance(token, beforeWei - amountWei);
    }

    function _requireBalance(IERC20 token, uint256 expectedWei) private view {
        uint256 gotWei = token.balanceOf(address(this));
        if (gotWei != expectedWei) revert TokensMiscounted(expectedWei, gotWei);
    }
}
